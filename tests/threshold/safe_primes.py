"""Fixed safe primes for tests: PAIRS[bits] are pairs whose product has 2 * bits bits.

They are public, so they protect nothing.
"""

from __future__ import annotations

PAIRS: dict[int, tuple[tuple[int, int], ...]] = {
    64: (
        (
            int("d1e5b11cbe14757f", 16),
            int("e53bc6226297b287", 16),
        ),
        (
            int("cf7c5280f91786ff", 16),
            int("efea61918ea7e95f", 16),
        ),
    ),
    256: (
        (
            int("c04d0b3d292e1e621713dff8f91ec34bd562aad4f96feb2bd1ac8710e3624b03", 16),
            int("cbb0af405d5cc92781652db7e93d0ca81cb7d506faa5cdcda1a9bd3c7805a76b", 16),
        ),
        (
            int("e4928f706d52ce186f3961b57d5c3d6fd2e61b90a2e695dbcee9103d6c6ed997", 16),
            int("d8b539fa9878686979ee18405353b9e42ea56710e473cee605763e913e7bae73", 16),
        ),
    ),
    512: (
        (
            int(
                "e2b8cfb214febd68b4129cc56f3f92ff651e1e63b993e17be7e1b4453b3e9f7d44b768cc6b9a2b4077c999caff5cc1b7"
                "005ec2364e7fcaf6070ad7146e1836ef",
                16,
            ),
            int(
                "d60ae5f10cf043343b31575f61d81ce1f2c1a8734b302b4caf2fb6e712490ece64f6022f5d1340826ac7128caf7d8cff"
                "ac256218e9103b39f5b63dec6288174f",
                16,
            ),
        ),
        (
            int(
                "e375f6c0562e4ccd7ff6cfdf2b36abae76792f21ed62dadb6d5840cf981d59edaaccb313bb9ccb1c7e59303fb55e6cde"
                "252f713f1f3bb2cf12ade166ab46aa2f",
                16,
            ),
            int(
                "cbd7d4a8b768cd9770fff93b239d073c0a6f2b57352a47103bc64c2e02e511c854cd75384406ae79d96dd4a2bb35fb8c"
                "16e3fa76fc1bba19511ab12b8592c05b",
                16,
            ),
        ),
    ),
    1024: (
        (
            int(
                "c5ab573ded1effe121e086e48fce45dad1fc996796819d11d5eb0c4c25caa0ce0efe908715f20ba17cc77419be4653ed"
                "39449cdc465395475592dd73c10b2f605fbe21df2943b3a29a0d54e46c5a9539cab7d32d5aae0c56f7d7cf2abb82ccb7"
                "329716326e7bf9a4da555d9f968ba81494292885e50203f92d1b95266ee4c59b",
                16,
            ),
            int(
                "dce33dc276bcd0ee829d6e3cabc86545c1c4bd53876eb3dcdc8d587d21a650b4396c5c98c82bf401da0b3b4b03d8cecf"
                "dbbd46b2ac7b43458eba73cd1213a6afa32372d1824ef20db4ce51181ace7c44178bf3e71611f2e3cc5bae1613dd0eb9"
                "35aeccb379b43e18a5cbb8839b9349bd409ddb04a77fb079a3e8acaceaeed42b",
                16,
            ),
        ),
        (
            int(
                "c5fa50b2d1b1fd74a9914d60211b5823a5da5c6efc6d322c4356574810606437b91342ebe462da12030bf54d48ffaaef"
                "80c3e1d22e64c247864b6fb9161d2b86502de0f08c349e7c139ee039632e3ad1e80d022aff4730e92e3744d365b53925"
                "ebff965c7f2a5fc623754345b2603e2499bd87484ed4f94d5b271865bcbd9eaf",
                16,
            ),
            int(
                "de052125d92d4ebbc5cc7c77e6b02d81b36aa430cffdd1fe983150bc2b49d29cde2ebd1e684b849706517395e4fd02dc"
                "a2eda42cf16b8625a662c1925802cca837fcb4b8e27be0731e40786fd844a69d726ba0c8a876022d4de11874f574b6cf"
                "b740a0bf9d7abc5a655068a1c482a322ea6df4f2ff9a87144ea2874b59ac5f33",
                16,
            ),
        ),
    ),
    1536: (
        (
            int(
                "e1292dfa703b71816636bcbb06d4b9babd6ccc96af206ccbd7fa264fc121083caee0c0abd52e2890aee1cb8e077d989b"
                "822effe4f31638f4cc9975055aba367c3812d365cb182ac3c2dae76b8643198fdc84b10a16c0f9124ca20ed45a239138"
                "75eb852dd38e1f896bd013077c29a4d426461bc8f9ff5ae88ac078e075ef5f959d1a9352bd8449b82ffc4251a729e3af"
                "617d2758ddeef998d586cc85d526e17fa5aee0b94ebfe7b93db49322b0d3d88774807678635ea0bcb550de2eba77b113",
                16,
            ),
            int(
                "e8dba279e3717b035baa4fc97ac78b2349e841f75864ad0f13b72d36da212bc3438694405418acae56cca0795b450c63"
                "d1553d2ee73290d040e5973e58d837b051052959453a84de1701e6e66ab1eec86e1d020f4ba0f9285360eeb8e6f84220"
                "0221fbefd743069d417ffc9db241e10147e29827458f465c6e02eecbc5e2a2e913e4a3a540d8bd0d8e4ff13587d408db"
                "c18581b6b6e30fd89024c4f170e0c2020ff12dccd880c341eb225901f8d137961316cfcedf21d463ca351b09ec357313",
                16,
            ),
        ),
    ),
    2048: (
        (
            int(
                "db196eabe5cffcf0776a37c901219c20cb128b97aec615ad336c7a27e06d9e94ff3fdaa607825a293fcdea03f0412236"
                "85d8f73b429bd5ac69b7f6f5b8f840159ed7a14373e15d85f0d631b1ccf7d8c53ca335cdc9f2fe223611afc988976255"
                "e0e48bf648c6dd094101e523b098a8e9d1507f35ceabd4ed5eeebd0823f6a32bec197b7af0ac81101812ea84731d43b1"
                "645ba06a90e8512f2f53ee8e2a9df6b356ff696fd623ff735ea62a843404d0ff84bf76e568e7e09d9c463cd6c73d8fb8"
                "693b10589ed55f67048041621272072e29dcbcbb62d41ce7dd16b05045b2d4eb24e9f82a7f8749a295d995a6bd2ab1dd"
                "4e4b7cd6b156ccaf715f450797ed3f13",
                16,
            ),
            int(
                "d6b0500f4f40405e00b26fcb62f4d9d689eeeb72a3f4ac0a37dd8a77a10cc8fe492bf1136dfd9d638c17bc16e6f54638"
                "e16ca695e75dbb294e8a85762c497558347d9aec5926c42ec82a0d2153f2e32003a7839ec04378294c87571eacdb7075"
                "860e117526de7dd8bbcd5c0a31d2911000f958902376c6847a9922156f9434052379c33f175ff50e182b60abc2ae7e96"
                "b4ed809f2ada0769cb47b2c7e86c2931b977ac63885db8cf5021c75701a88014af4fb12cf97aef1675a9721545fe4e9e"
                "be656fc6b73b2920a80a8544e58680d2accb4eb942ed8a42b7922a9fd4f8a419da56bdac1ddeced42c87681852c6b11d"
                "1f8908859ba6e74a52e13830fef7eff3",
                16,
            ),
        ),
    ),
}

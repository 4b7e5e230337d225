"""The policy that the dealer writes where it is given none: for trying things out, every key explained.

Source: cli.md, `policy.toml`.  Its text is read by people first.
"""

from __future__ import annotations

DEFAULT_POLICY_TOML = """\
# Policy of a MAFTIA certification authority.  This default is for trying things out:
# everybody may ask (ask.mode = ["open"]) for every DNS name and email address.
# Unknown keys are errors.  All servers hold the same text; its hash as dealt is in
# cluster.toml.  Later it changes by `maftia admin policy set`, for all servers at once.

[cluster]
# How a request shows that its key is the requester's: "challenge" (servers ask and
# vouch for the answer) or "proof" (the key's own signature over the request counts too).
confirm = "challenge"
# How many servers must vouch for it; 0 means t+1, so that at least one is honest.
attestations = 0
# The same for evidence that servers gather from the network; 0 means 2t+1.
validation_attestations = 0
# Whether a plain PKCS#10 request, which anybody may copy, is enough to be issued a
# certificate.  (One that `maftia csr` binds to its request counts as a proof.)  Whoever
# copies it first holds its names too, until the key is shown: its client alone has no right
# over such a certificate.
plain_csr = false
# Whether two clients may hold certificates for one name.
shared_names = false
# Whether two clients may hold certificates for one key.
shared_keys = true
# The largest number of certificates that one retrieve returns.
retrieve_max = 100

# What certificates of a profile may be; a profile that is not here is not issued.
# kinds: what their keys are for, "signature" or "encryption".  days: validity.
# backdate_s: seconds that "not before" lies before the time of issue, for slow clocks.
# key_types: rsa (2048 bits and more), ec-p256, ec-p384, ed25519; for encryption rsa, x25519.
# gather: the kinds of evidence for its names that servers gather themselves; each must be
# known to this version of the servers, and the default is none.
[profile.server]
kinds = ["signature"]
days = 90
backdate_s = 300
key_types = ["rsa", "ec-p256", "ec-p384", "ed25519"]
max_names = 100

[profile.client]
kinds = ["signature"]
days = 90
backdate_s = 300
key_types = ["rsa", "ec-p256", "ec-p384", "ed25519"]
max_names = 100

# For mail and for devices, encryption keys too; for an authority below this one, which
# is meant for a cluster that was dealt with --ca-cert and needs a dn: name.
# [profile.email]
# kinds = ["signature", "encryption"]
# days = 365
# key_types = ["rsa", "ec-p256", "ec-p384", "ed25519", "x25519"]
#
# [profile.device]
# kinds = ["signature", "encryption"]
# days = 365
# key_types = ["rsa", "ec-p256", "ec-p384", "ed25519", "x25519"]
#
# [profile.intermediate]
# kinds = ["signature"]
# days = 1825
# key_types = ["rsa", "ec-p384"]

# Which names are certified at all.  A * stands for any characters, dots too; ip takes
# address blocks such as "192.0.2.0/24".  "*.example.org" does not include "example.org".
[allow]
dns = ["*"]
email = ["*"]
ip = []
uri = []
dn = []

# Who may ask for certificates: any of "open" (everybody), "token" (below, or added later
# by `maftia admin token add`), "signature" (of an authority below), "certificate" (whoever
# holds a valid one of this authority; alone it lets nobody have a first one).  Credentials
# let a request in; they give no right over any certificate that there is.
[ask]
mode = ["open"]

# A token, made by `maftia-dealer token`.  uses: how many certificates, 0 for any number.
# names: patterns with their kind; none means all that [allow] has.  A text that is set
# later replaces all tokens by its own.
# [[token]]
# public_key = "64 hex digits"
# uses = 1
# names = ["dns:*.example.org"]

# A key whose holder authorizes requests for some names (`maftia authorize`); its word
# names one key, and its last moment.
# [[authority]]
# name = "registration office"
# public_key = '''
# -----BEGIN PUBLIC KEY-----
# ...
# -----END PUBLIC KEY-----
# '''
# names = ["email:*@example.org"]

# The keys whose majority may change this policy and its tokens, and revoke anything.
# Where there are none, nobody ever can.
# [[administrator]]
# name = "alice"
# public_key = '''...'''

# How often, in each window of this many seconds: per token, per name, per authority (each
# key that it gave its word counts as a token), per source address, for all requests without
# a credential (anonymous), and for the whole cluster.  What cluster has above anonymous is
# left to those with a credential, and what authority has above token to its other keys.
[limits]
window_s = 60
token = 6000
name = 6000
authority = 30000
source = 60000
anonymous = 30000
cluster = 60000
"""

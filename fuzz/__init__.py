"""Every decoder that a stranger can reach, under a coverage-guided fuzzer.

target     one decoder: what it runs, which errors it declares, what it covers
wire …     the targets, by what they read: wire, requests, keys, texts, logs, shares, disks, machines
table      all of them
examples   values of every struct, made from its types
mutators   changes that keep an input's form, so that the fuzzer gets behind the first check
corpus     the inputs that were found and kept, a zip file a target; replayed by `make test`
coverage   which lines an input reaches, and the fewest inputs that reach all
worker     one target under atheris, in a process of its own
campaign   workers one after the other; what they did, as a table
"""

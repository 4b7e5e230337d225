"""The dealer: makes a cluster's keys and files, once, and is never needed again."""

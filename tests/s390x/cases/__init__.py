"""Cases that run in the s390x guest."""

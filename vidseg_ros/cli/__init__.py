"""The command line: ``vidseg VERB``; each verb is one small file."""

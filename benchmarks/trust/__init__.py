"""How far intervals and verdicts can be trusted: studies that anyone can run, see ``__main__``."""

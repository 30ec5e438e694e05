class Problem(Exception):
    """What a user can mend; told in one line, without a trace."""

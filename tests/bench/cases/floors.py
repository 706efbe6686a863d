def floor(bench):
    pass

def density(bench):
    pass
def growth(bench):
    pass

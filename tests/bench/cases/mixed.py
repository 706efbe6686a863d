def mixed(bench):
    pass
def zipf(bench):
    pass

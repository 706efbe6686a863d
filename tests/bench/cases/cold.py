def cold(bench):
    pass
def deploy(bench):
    pass

-- wrk: GET of the URL given.
dofile("done.lua")

-- wrk: POST of BODY_BYTES bytes.
dofile("done.lua")
wrk.method = "POST"
wrk.body = string.rep("x", tonumber(os.getenv("BODY_BYTES")))

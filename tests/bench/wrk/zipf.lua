-- wrk: GET of /fN, N by Zipf's law (s = 1) over 100 functions; with
-- ZIPF_DELAY_MS each connection rests so long before each request.
dofile("done.lua")
local sums, sum = {}, 0
for i = 1, 100 do
  sum = sum + 1 / i
  sums[i] = sum
end
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("seed", threads)
end
function init()
  math.randomseed(seed)
end
function request()
  local x, low, high = math.random() * sum, 1, 100
  while low < high do
    local middle = math.floor((low + high) / 2)
    if sums[middle] < x then low = middle + 1 else high = middle end
  end
  return wrk.format("GET", "/f" .. low)
end
local rest = tonumber(os.getenv("ZIPF_DELAY_MS"))
if rest then
  function delay()
    return rest
  end
end

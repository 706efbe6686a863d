-- wrk: POST of a JSON document of 1024 bytes, built once.
dofile("done.lua")
local items = {}
for i = 1, 12 do
  items[i] = string.format('{"id":%d,"name":"part-%04d","count":%d}', i, i * 31, i % 7)
end
local head = '{"order":"8f3a","items":[' .. table.concat(items, ",") .. '],"note":"'
wrk.method = "POST"
wrk.body = head .. string.rep("n", 1024 - #head - 2) .. '"}'
wrk.headers["Content-Type"] = "application/json"

-- problem: error responses as RFC 9457 problem documents.
--
-- A module in _lib/ can be required by every function of the folder; a change
-- here is a new version of each that does.
local problem = {}

local titles = {
  [400] = "Bad Request",
  [404] = "Not Found",
  [405] = "Method Not Allowed",
  [409] = "Conflict",
  [415] = "Unsupported Media Type",
  [422] = "Unprocessable Content",
}

-- A response; more holds further members of the document.
function problem.response(status, detail, more)
  local document = { title = titles[status], status = status, detail = detail }
  for name, value in pairs(more or {}) do
    document[name] = value
  end
  return {
    status = status,
    headers = { ["content-type"] = "application/problem+json" },
    body = json.encode(document),
  }
end

return problem

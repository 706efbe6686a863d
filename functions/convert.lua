-- convert: a small JSON API.
--
--	curl 'http://127.0.0.1:8080/convert/length?value=42.195&from=km&to=mi'
--	curl  http://127.0.0.1:8080/convert/mass
local quantities = {
  length = { m = 1, km = 1000, cm = 0.01, mi = 1609.344, ft = 0.3048, ["in"] = 0.0254 },
  mass = { kg = 1, g = 0.001, t = 1000, lb = 0.45359237, oz = 0.028349523125 },
  time = { s = 1, min = 60, h = 3600, d = 86400 },
}

local function names_of(t)
  local names = json.array()
  for name in pairs(t) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function problem(status, detail, choices)
  return {
    status = status,
    headers = { ["content-type"] = "application/problem+json" },
    body = json.encode { status = status, detail = detail, choices = choices },
  }
end

return function(event)
  local query = event.query
  local units = quantities[event.params.quantity]
  if not units then
    return problem(404, "no such quantity", names_of(quantities))
  elseif not query.value then
    return { quantity = event.params.quantity, units = names_of(units) }
  end

  local value, from, to = tonumber(query.value), units[query.from], units[query.to]
  if not value then
    return problem(400, "value must be a number")
  elseif not from or not to then
    return problem(400, "from and to must be units", names_of(units))
  end
  return { value = value, from = query.from, to = query.to, result = value * from / to }
end

-- router: "GET /books/:id" to a function, with the parameters by name.
local router = {}
router.__index = router

function router.new()
  return setmetatable({ routes = {} }, router)
end

-- "/books/:id" as a Lua pattern and the names of its parameters.
local function compile(path)
  local names = {}
  local pattern = path:gsub("[%-%.%+%*%?%^%$%%%(%)%[%]]", "%%%0")
    :gsub(":(%w+)", function(name)
      names[#names + 1] = name
      return "([^/]+)"
    end)
  return "^" .. pattern .. "/?$", names
end

function router:on(method, path, handler)
  local pattern, names = compile(path)
  self.routes[#self.routes + 1] =
    { method = method, pattern = pattern, names = names, handler = handler }
end

local function params_of(route, path)
  local captures = { path:match(route.pattern) }
  if #captures == 0 then
    return nil
  end
  local params = {}
  for i, name in ipairs(route.names) do
    params[name] = captures[i]
  end
  return params
end

-- The handler and its parameters; or nil and the methods that the path knows.
function router:find(method, path)
  local allowed = {}
  for _, route in ipairs(self.routes) do
    local params = params_of(route, path)
    if params and route.method == method then
      return route.handler, params
    elseif params then
      allowed[#allowed + 1] = route.method
    end
  end
  return nil, allowed
end

return router

-- by-author: parameters straight from the manifest's route.
local problem = require("_lib.problem")

local born = { ["Jules Verne"] = 1828, ["H. G. Wells"] = 1866 }

return function(event)
  local name = event.params.name
  if not born[name] then
    return problem.response(404, "nobody is called " .. name)
  end
  return { name = name, born = born[name] }
end

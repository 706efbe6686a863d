-- validate: a value against a table of fields; all mistakes at once.
local validate = {}

local function is_text(value, field)
  return type(value) == "string" and #value > 0 and #value <= field.max,
    "must be a text of 1 to " .. field.max .. " bytes"
end

local function is_integer(value, field)
  return math.type(value) == "integer" and value >= field.min and value <= field.max,
    "must be a whole number from " .. field.min .. " to " .. field.max
end

local checks = { text = is_text, integer = is_integer }

-- A clean copy of value, or nil and a list of { field, message }.
function validate.object(value, fields)
  local clean, mistakes = {}, json.array()

  local function mistake(name, message)
    mistakes[#mistakes + 1] = { field = name, message = message }
  end

  for name in pairs(value) do
    if not fields[name] then
      mistake(name, "is not known")
    end
  end
  for name, field in pairs(fields) do
    local given = value[name]
    if given == nil or given == json.null then
      if field.required then
        mistake(name, "is missing")
      end
    else
      local ok, message = checks[field.type](given, field)
      if ok then
        clean[name] = given
      else
        mistake(name, message)
      end
    end
  end
  table.sort(mistakes, function(a, b) return a.field < b.field end)
  if #mistakes > 0 then
    return nil, mistakes
  end
  return clean
end

return validate

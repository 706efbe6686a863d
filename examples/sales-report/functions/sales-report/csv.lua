-- csv: rows of a CSV file (RFC 4180), however it is cut into chunks.
local csv = {}

-- Complete lines out of chunks.  A line end within quotes does not end a row:
-- as long as the quotes are uneven, the next line belongs to it.
local function lines(next_chunk)
  local buffer, at, ended = "", 1, false

  local function more()
    local chunk = next_chunk()
    ended = chunk == nil
    buffer, at = buffer:sub(at) .. (chunk or ""), 1
  end

  local function next_line()
    local stop = buffer:find("\n", at, true)
    while not stop and not ended do
      more()
      stop = buffer:find("\n", at, true)
    end
    local line = buffer:sub(at, (stop or #buffer + 1) - 1)
    if not stop and line == "" then
      return nil
    end
    at = (stop or #buffer) + 1
    return line
  end

  return function()
    local line = next_line()
    while line and select(2, line:gsub('"', "")) % 2 == 1 do
      local rest = next_line()
      if not rest then
        break
      end
      line = line .. "\n" .. rest
    end
    return line and (line:gsub("\r$", ""))
  end
end

-- The fields of one line.
local function split(line)
  local fields, at = {}, 1
  while at <= #line + 1 do
    local value, behind
    if line:sub(at, at) == '"' then
      local stop = at
      repeat -- to the first quote that is not doubled
        stop = line:find('"', stop + 1, true) or #line + 1
        local doubled = line:sub(stop, stop + 1) == '""'
        stop = doubled and stop + 1 or stop
      until not doubled
      value, behind = line:sub(at + 1, stop - 1):gsub('""', '"'), stop + 1
    else
      behind = line:find(",", at, true) or #line + 1
      value = line:sub(at, behind - 1)
    end
    fields[#fields + 1] = value
    at = behind + 1
  end
  return fields
end

-- for number, fields in csv.rows(files.chunks()) do ... end
function csv.rows(next_chunk)
  local next_line, number = lines(next_chunk), 0
  return function()
    local line = next_line()
    if line then
      number = number + 1
      return number, split(line)
    end
  end
end

-- One field for writing.
function csv.quote(value)
  value = tostring(value)
  if value:find('[,"\r\n]') then
    return '"' .. value:gsub('"', '""') .. '"'
  end
  return value
end

return csv

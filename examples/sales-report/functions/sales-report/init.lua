-- sales-report: a CSV of sales becomes a summary, as JSON and as CSV.
--
-- The file is read in chunks, so its size does not matter.  Money is counted
-- in cents: whole numbers, no rounding.
local csv = require("csv")

local columns = { "date", "region", "product", "quantity", "unit_price" }
local problems_kept = 20

local function parse(fields)
  local quantity = math.tointeger(tonumber(fields[4]))
  local whole, cents = (fields[5] or ""):match("^(%d+)%.(%d%d)$")
  if #fields ~= #columns then
    return nil, ("%d fields instead of %d"):format(#fields, #columns)
  elseif not fields[1]:match("^%d%d%d%d%-%d%d%-%d%d$") then
    return nil, "bad date: " .. fields[1]
  elseif not quantity or quantity < 0 then
    return nil, "bad quantity: " .. fields[4]
  elseif not whole then
    return nil, "bad price: " .. fields[5]
  end
  return {
    month = fields[1]:sub(1, 7),
    region = fields[2],
    product = fields[3],
    quantity = quantity,
    cents = quantity * (tonumber(whole) * 100 + tonumber(cents)),
  }
end

local function check_head(fields)
  for i, name in ipairs(columns) do
    if fields[i] ~= name then
      error(("column %d must be %q, not %q"):format(i, name, fields[i] or ""), 0)
    end
  end
end

local function add(group, key, sale)
  local sum = group[key]
  if not sum then
    sum = { sales = 0, quantity = 0, cents = 0 }
    group[key] = sum
  end
  sum.sales = sum.sales + 1
  sum.quantity = sum.quantity + sale.quantity
  sum.cents = sum.cents + sale.cents
end

local function summarise(next_chunk)
  local report = { rows = 0, problem_count = 0, problems = json.array() }
  local groups = { total = {}, region = {}, product = {}, month = {} }

  for number, fields in csv.rows(next_chunk) do
    if number == 1 then
      check_head(fields)
    else
      local sale, why = parse(fields)
      report.rows = report.rows + 1
      if sale then
        add(groups.total, "all", sale)
        add(groups.region, sale.region, sale)
        add(groups.product, sale.product, sale)
        add(groups.month, sale.month, sale)
      else
        report.problem_count = report.problem_count + 1
        if #report.problems < problems_kept then
          report.problems[#report.problems + 1] = { line = number, why = why }
        end
      end
    end
  end
  return report, groups
end

local function money(cents)
  return ("%d.%02d"):format(cents // 100, cents % 100)
end

local function sorted_keys(group)
  local keys = {}
  for key in pairs(group) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

local function to_csv(groups)
  local out = { "group,key,sales,quantity,revenue\n" }
  for _, name in ipairs { "total", "region", "product", "month" } do
    for _, key in ipairs(sorted_keys(groups[name])) do
      local sum = groups[name][key]
      out[#out + 1] = table.concat({ name, csv.quote(key), sum.sales, sum.quantity,
        money(sum.cents) }, ",") .. "\n"
    end
  end
  return table.concat(out)
end

local function to_json(report, groups)
  for name, group in pairs(groups) do
    report[name] = {}
    for key, sum in pairs(group) do
      report[name][key] = { sales = sum.sales, quantity = sum.quantity, revenue = money(sum.cents) }
    end
  end
  report.total = report.total.all or { sales = 0, quantity = 0, revenue = "0.00" }
  return json.encode(report)
end

return function(event)
  local report, groups = summarise(files.chunks())
  local name = event.name:gsub("%.csv$", "")

  report.file = event.path
  report.sha256 = event.sha256
  files.write(name .. ".summary.csv", to_csv(groups))
  files.write(name .. ".summary.json", to_json(report, groups))
  log.info("report written", { rows = report.rows, problems = report.problem_count })
end

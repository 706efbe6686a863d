-- wordcount: counts the words of each text that arrives in uploads/in.
--
--	cp README.md uploads/in/readme.txt
--	cat uploads/out/readme.txt.json
local most_frequent = 10

local function count(lines)
  local words, seen, total = {}, {}, { lines = 0, words = 0, bytes = 0 }
  for line in lines do
    total.lines = total.lines + 1
    total.bytes = total.bytes + #line + 1
    for word in line:lower():gmatch("[%w\128-\255']+") do
      total.words = total.words + 1
      if not seen[word] then
        words[#words + 1] = word
      end
      seen[word] = (seen[word] or 0) + 1
    end
  end
  table.sort(words, function(a, b)
    return seen[a] > seen[b] or (seen[a] == seen[b] and a < b)
  end)
  return total, words, seen
end

return function(event)
  local total, words, seen = count(files.lines())
  total.file, total.different, total.frequent = event.name, #words, json.array()
  for i = 1, math.min(most_frequent, #words) do
    total.frequent[i] = { word = words[i], count = seen[words[i]] }
  end
  files.write(event.name .. ".json", json.encode(total))
  log.info("counted", { file = event.name, words = total.words })
end

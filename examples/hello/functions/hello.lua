-- hello: the smallest function that says something about its caller.
--
-- What stands outside the handler runs once per version; every request starts
-- from the heap that it left.
local greetings = { de = "Hallo", en = "Hello", fr = "Bonjour", ja = "こんにちは" }

-- "de-CH,de;q=0.9,en;q=0.8": the first language that we speak.
local function language_of(header)
  for tag in (header or ""):gmatch("(%a+)[%w-]*") do
    if greetings[tag:lower()] then
      return tag:lower()
    end
  end
  return "en"
end

return function(event, ctx)
  local language = language_of(event.headers["accept-language"])
  local who = event.query.name or "you"

  log.info("greeting", { who = who, language = language })
  return {
    status = 200,
    headers = {
      ["content-type"] = "text/plain; charset=utf-8",
      ["content-language"] = language,
    },
    body = greetings[language] .. ", " .. who .. "!\n",
  }
end

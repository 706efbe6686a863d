-- books: a JSON API with routes, validation and problem documents.
local problem = require("_lib.problem")
local router = require("router")
local store = require("store")
local validate = require("validate")

local book_fields = {
  title = { type = "text", max = 200, required = true },
  author = { type = "text", max = 200, required = true },
  year = { type = "integer", min = -3000, max = 3000 },
}

local function reply(status, value, headers)
  headers = headers or {}
  headers["content-type"] = "application/json"
  return { status = status, headers = headers, body = json.encode(value) }
end

-- The book in the request's body, or nil and the response that says why not.
local function read_book(event)
  local kind = event.headers["content-type"] or ""
  if not kind:match("^application/json") then
    return nil, problem.response(415, "send application/json")
  end
  local ok, value = pcall(json.decode, event.body)
  if not ok then
    return nil, problem.response(400, value)
  end
  if type(value) ~= "table" or #value > 0 then
    return nil, problem.response(422, "the body must be an object")
  end
  local book, mistakes = validate.object(value, book_fields)
  if not book then
    return nil, problem.response(422, "some fields are wrong", { errors = mistakes })
  end
  return book
end

-- Call action(id) when the id names a book, else answer 404.
local function with_book(params, action)
  local id = math.tointeger(tonumber(params.id))
  if not id or not store.get(id) then
    return problem.response(404, "there is no book " .. params.id)
  end
  return action(id)
end

local api = router.new()

api:on("GET", "/books", function(event)
  local limit = math.tointeger(tonumber(event.query.limit or 100))
  if not limit or limit < 1 or limit > 100 then
    return problem.response(400, "limit must be 1 to 100")
  end
  return reply(200, { books = store.list(event.query.author, limit) })
end)

api:on("POST", "/books", function(event)
  local book, failure = read_book(event)
  if not book then
    return failure
  end
  store.add(book)
  return reply(201, book, { location = "/books/" .. book.id })
end)

api:on("GET", "/books/:id", function(_, params)
  return with_book(params, function(id)
    return reply(200, store.get(id))
  end)
end)

api:on("PUT", "/books/:id", function(event, params)
  return with_book(params, function(id)
    local book, failure = read_book(event)
    return failure or reply(200, store.replace(id, book))
  end)
end)

api:on("DELETE", "/books/:id", function(_, params)
  return with_book(params, function(id)
    store.remove(id)
    return { status = 204 }
  end)
end)

return function(event)
  local handler, found = api:find(event.method, event.path)
  if handler then
    return handler(event, found)
  elseif #found > 0 then
    local response = problem.response(405, "try " .. table.concat(found, ", "))
    response.headers.allow = table.concat(found, ", ")
    return response
  end
  return problem.response(404, "nothing is at " .. event.path)
end

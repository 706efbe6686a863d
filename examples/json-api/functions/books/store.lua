-- store: a shelf of books in memory, for demonstration.
--
-- It lives as long as the worker does: the manifest asks for a shared heap and
-- one worker.  What must outlive that belongs into a database.
local store = {}

local books, next_id = {}, 1

function store.add(book)
  book.id = next_id
  next_id = next_id + 1
  books[book.id] = book
  return book
end

function store.get(id)
  return books[id]
end

function store.replace(id, book)
  book.id = id
  books[id] = book
  return book
end

function store.remove(id)
  local book = books[id]
  books[id] = nil
  return book
end

-- In order of id; author and limit may be nil.
function store.list(author, limit)
  local found = json.array()
  for id = 1, next_id - 1 do
    local book = books[id]
    if book and (not author or book.author == author) then
      found[#found + 1] = book
      if #found == limit then
        break
      end
    end
  end
  return found
end

store.add { title = "From the Earth to the Moon", author = "Jules Verne", year = 1865 }
store.add { title = "Around the Moon", author = "Jules Verne", year = 1869 }
store.add { title = "The First Men in the Moon", author = "H. G. Wells", year = 1901 }

return store

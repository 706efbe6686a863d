-- hello: curl 'http://127.0.0.1:8080/hello?name=Ada'
--
-- Change it and save: the next request gets the new version.
return function(event, ctx)
  local name = event.query.name or "you"
  return ("Hello, %s! This is %s@%d, start: %s.\n"):format(name, ctx.function_name, ctx.version,
    ctx.start)
end

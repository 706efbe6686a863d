-- webhook: accepts events whose sender knows our secret.
--
-- The sender puts into the header `webhook-signature`
--
--	t=UNIX_SECONDS,v1=HEX
--
-- where HEX is HMAC-SHA256(secret, "UNIX_SECONDS.BODY").  The time is part of
-- what is signed, so that an old request cannot be sent again later.
local tolerance_s = 300

local handlers = {}

handlers["order.paid"] = function(event)
  log.info("order paid", { order = event.order })
  return { accepted = true, order = event.order }
end

handlers["ping"] = function()
  return { accepted = true, pong = true }
end

local function refuse(status, detail)
  log.warn("refused", { why = detail })
  return {
    status = status,
    headers = { ["content-type"] = "application/problem+json" },
    body = json.encode { title = "Webhook refused", status = status, detail = detail },
  }
end

-- The time and the signatures: senders who change their secret send two.
local function parse_signature(header)
  local time_s, signatures = nil, {}
  for name, value in (header or ""):gmatch("(%w+)=(%w+)") do
    if name == "t" then
      time_s = math.tointeger(tonumber(value))
    elseif name == "v1" then
      signatures[#signatures + 1] = value
    end
  end
  return time_s, signatures
end

local function is_signed(secret, time_s, body, signatures)
  local expected = crypto.hmac_sha256(secret, time_s .. "." .. body)
  local found = false
  for _, signature in ipairs(signatures) do
    -- Comparing with == would tell a patient stranger how many bytes are right.
    found = crypto.equal(signature, expected) or found
  end
  return found
end

return function(event, ctx)
  local time_s, signatures = parse_signature(event.headers["webhook-signature"])
  if not time_s or #signatures == 0 then
    return refuse(400, "the webhook-signature header is missing or unreadable")
  elseif not is_signed(ctx.env.WEBHOOK_SECRET, time_s, event.body, signatures) then
    return refuse(401, "the signature does not match")
  elseif math.abs(time.now() // 1000 - time_s) > tolerance_s then
    return refuse(401, "the signature is too old")
  end

  local ok, message = pcall(json.decode, event.body)
  if not ok then
    return refuse(400, message)
  end
  local handle = type(message) == "table" and handlers[message.type]
  if not handle then
    return refuse(422, "this type of event is not known")
  end
  return handle(message)
end

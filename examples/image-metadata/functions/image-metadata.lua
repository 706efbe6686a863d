-- image-metadata: the dimensions of uploaded PNG and JPEG images.
--
-- Reads only the bytes that it needs, so the size of an image does not matter.
-- A file that is neither, or is cut short, is an error: after three attempts
-- it stands in `perilune uploads --failed` with what was wrong.

-- string.unpack at an offset of the uploaded file.
local function unpack_at(offset, format)
  local size = string.packsize(format)
  local bytes = files.read(offset, size)
  if not bytes or #bytes < size then
    error("the image ends after " .. offset + #(bytes or "") .. " bytes", 0)
  end
  return string.unpack(format, bytes)
end

-- PNG, third edition, section 11.2.2: IHDR is the first chunk.
local png_colours =
  { [0] = "greyscale", [2] = "rgb", [3] = "palette", [4] = "greyscale+alpha", [6] = "rgba" }

local function read_png()
  local length, kind, width, height, depth, colour = unpack_at(8, ">I4c4I4I4BB")
  if kind ~= "IHDR" or length ~= 13 then
    error("a PNG that does not begin with IHDR", 0)
  end
  return { format = "png", width = width, height = height, bits = depth,
    colour = png_colours[colour] or "unknown" }
end

-- ITU T.81, table B.1: the markers that begin a frame, C0 to CF but for
-- C4 (Huffman tables), C8 (reserved) and CC (arithmetic conditioning).
local function begins_frame(marker)
  return marker >= 0xC0 and marker <= 0xCF and marker ~= 0xC4 and marker ~= 0xC8
    and marker ~= 0xCC
end

local jpeg_colours = { [1] = "greyscale", [3] = "ycbcr", [4] = "cmyk" }

local function read_jpeg()
  local offset = 2 -- behind SOI
  while true do
    local mark, marker = unpack_at(offset, "BB")
    if mark ~= 0xFF then
      error(("a JPEG without a marker at byte %d"):format(offset), 0)
    elseif marker == 0xFF then -- a fill byte
      offset = offset + 1
    elseif begins_frame(marker) then
      local _, bits, height, width, components = unpack_at(offset + 2, ">I2BI2I2B")
      return { format = "jpeg", width = width, height = height, bits = bits,
        colour = jpeg_colours[components] or "unknown", progressive = marker == 0xC2 }
    elseif marker == 0xD9 or marker == 0xDA then
      error("a JPEG without a frame", 0)
    elseif marker == 0x01 or (marker >= 0xD0 and marker <= 0xD7) then
      offset = offset + 2 -- markers without a segment
    else
      offset = offset + 2 + unpack_at(offset + 2, ">I2")
    end
  end
end

local function read_image()
  local head = files.read(0, 8) or ""
  if head == "\137PNG\r\n\26\n" then
    return read_png()
  elseif head:sub(1, 2) == "\255\216" then
    return read_jpeg()
  end
  error("neither PNG nor JPEG", 0)
end

return function(event)
  local image = read_image()
  image.file, image.bytes, image.sha256 = event.path, event.size, event.sha256
  files.write(event.name .. ".json", json.encode(image))
  log.info("measured", { file = event.name, width = image.width, height = image.height })
end

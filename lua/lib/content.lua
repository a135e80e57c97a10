-- Content and deliveries of an inline order: the pieces `b0`, `b1`, … of its history, concatenated. First the length
-- of the content, the content (version, then per field a tag, a length and the text; with tag 16 a channel and its
-- text), and the deliveries (version, then per delivery its number and three texts). Lengths and numbers have 7 bits
-- per byte, low bits first.
local CONTENT_VERSION, PARCEL_VERSION = 1, 1
local LAST_FIELD, TEXT_OF_CHANNEL = 11, 16

-- A number of at most five bytes and the position after it; nil when it is truncated.
local function varint(s, at)
  local n, unit = 0, 1
  for place = at, at + 4 do
    local b = byte(s, place)
    if not b then
      return nil
    end
    n = n + b % 128 * unit
    if b < 128 then
      return n, place + 1
    end
    unit = unit * 128
  end
  return nil
end

-- The position after a text that ends at `last` or before; nil when it does not end there.
local function behind_text(s, at, last)
  local length, first = byte(s, at), at + 1
  if not length or length > 127 then
    length, first = varint(s, at)
  end
  if not length or first + length > last + 1 then
    return nil
  end
  return first + length
end

-- nil if this program can read it, otherwise the reason why not.
local function blob_error(blob, deliveries)
  local length, at = varint(blob, 1)
  if not length or length == 0 or at + length > #blob then
    return 'unreadable'
  end
  local last = at + length - 1
  local version = byte(blob, at)
  if version ~= CONTENT_VERSION then
    return version > CONTENT_VERSION and 'newer_version' or 'unreadable'
  end
  at = at + 1
  while at <= last do
    local field = byte(blob, at)
    if field > LAST_FIELD and field ~= TEXT_OF_CHANNEL then
      return 'newer_version' -- ignoring the field would lose it
    end
    at = behind_text(blob, at + 1, last)
    if at and field == TEXT_OF_CHANNEL then
      at = behind_text(blob, at, last)
    end
    if not at or field == 0 then
      return 'unreadable'
    end
  end
  version = byte(blob, at)
  if version ~= PARCEL_VERSION then
    return version > PARCEL_VERSION and 'newer_version' or 'unreadable'
  end
  at = at + 1
  local found, size = 0, #blob
  while at <= size do
    local _
    if byte(blob, at) < 128 then
      at = at + 1
    else
      _, at = varint(blob, at)
    end
    at = at and behind_text(blob, at, size)
    at = at and behind_text(blob, at, size)
    at = at and behind_text(blob, at, size)
    if not at then
      return 'unreadable'
    end
    found = found + 1
  end
  return found ~= deliveries and 'unreadable' or nil
end

-- The same for the fields of a history as HGETALL returns them: the pieces come in order there, unless the history is
-- big.
local piece_names = {}
local function content_error(fields, deliveries)
  local pieces, count, others = {}, 0, 0
  local size = #fields
  for i = 1, size, 2 do
    local name = fields[i]
    local expected = piece_names[count + 1]
    if not expected then
      expected = 'b' .. count
      piece_names[count + 1] = expected
    end
    if name == expected then
      count = count + 1
      pieces[count] = fields[i + 1]
    elseif byte(name) == 98 then
      others = others + 1
    end
  end
  if others > 0 then
    -- In a different order, or no pieces at all.
    local found = {}
    for i = 1, size, 2 do
      found[fields[i]] = fields[i + 1]
    end
    local all = count + others
    for n = 1, all do
      pieces[n] = found['b' .. n - 1]
      if not pieces[n] then
        return 'unreadable'
      end
    end
    count = all
  end
  return blob_error(count == 1 and pieces[1] or table.concat(pieces, '', 1, count), deliveries)
end

-- Integers in packed records: big-endian, unsigned. Lua 5.1 numbers are doubles, so 48 bits (milliseconds until the
-- year 10889) are exact.
local byte, char, sub, floor, format = string.byte, string.char, string.sub, math.floor, string.format

-- An integer as text. Numbers passed to redis.call are formatted as fractions, which costs more than most commands.
local function int(n)
  return format('%d', n)
end

local function u16(s, at)
  local a, b = byte(s, at, at + 1)
  return a * 256 + b
end

local function u32(s, at)
  local a, b, c, d = byte(s, at, at + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function u48(s, at)
  local a, b, c, d, e, f = byte(s, at, at + 5)
  return ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
end

local function p16(n)
  return char(floor(n / 256) % 256, n % 256)
end

local function p32(n)
  return char(floor(n / 16777216) % 256, floor(n / 65536) % 256, floor(n / 256) % 256, n % 256)
end

local function p48(n)
  return char(floor(n / 1099511627776) % 256, floor(n / 4294967296) % 256) .. p32(n % 4294967296)
end

-- Scripts run inside Redis or Valkey: Lua 5.1, a few globals of the server, and nothing else from outside.
std = "lua51"
read_globals = {
  "KEYS",
  "ARGV",
  redis = { fields = { "call", "pcall", "error_reply", "status_reply", "sha1hex", "log", "LOG_WARNING" } },
}
-- What servers take away, and what the house does not use.
not_globals = {
  "arg", "collectgarbage", "debug", "dofile", "getfenv", "io", "load", "loadfile", "loadstring", "module", "os",
  "package", "pcall", "print", "require", "setfenv", "xpcall",
}
max_line_length = 140

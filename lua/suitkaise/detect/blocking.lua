--- Which calls may wait for something outside: by what a function is, and
-- where that is not known, by its name.
-- @module suitkaise.detect.blocking

local each = require "suitkaise.each"

local blocking = {}

-- Module -> its functions that may wait.
local MODULES = {
  ["socket"] = "sleep select connect connect4 connect6 bind",
  ["socket.http"] = "request",
  ["socket.smtp"] = "send",
  ["socket.ftp"] = "get put",
  ["socket.dns"] = "toip tohostname getaddrinfo getnameinfo",
  ["ssl.https"] = "request",
  ["luv"] = "run sleep",
  ["cqueues"] = "sleep poll",
  ["posix.unistd"] = "sleep read write",
  ["posix.time"] = "nanosleep",
  ["posix.poll"] = "poll rpoll",
  ["posix.sys.wait"] = "wait",
  ["suitkaise.core"] = "wait sleep",
  ["suitkaise.sktime"] = "sleep",
}

-- Ends of names of functions that are not known.
local NAMES = {
  "sleep", "nanosleep", "receive", "receivefrom", "accept", "dohandshake",
  "popen",
}

-- Paths that tell when the module is not loaded yet; those of MODULES do too.
local PATHS = { "^posix%..*sleep$", "^io%.", "^os%.execute$" }

-- Methods that wait when their object is called as sockets are.
local OF_SOCKETS = { connect = true, send = true, sendto = true }
local SOCKETS = { "sock", "client", "conn", "server", "tcp", "udp" }

-- Methods of what io.open and the like return.
local OF_FILES = { read = true, lines = true, write = true, flush = true,
                   close = true, seek = true }

--- The name of a module's function that may wait; nil for others.
function blocking.of(fn)
  for module, names in each(MODULES) do
    local loaded = package.loaded[module]
    if type(loaded) == "table" then
      for name in names:gmatch "%S+" do
        if rawget(loaded, name) == fn then return module .. "." .. name end
      end
    end
  end
  return nil
end

--- The names of modules' functions that may wait, for those of `words` (a
-- set) that name a module and a function of it.
function blocking.among(words)
  local found = {}
  for module, names in each(MODULES) do
    for name in names:gmatch(words[module] and "%S+" or "^$") do
      if words[name] then found[#found + 1] = module .. "." .. name end
    end
  end
  return found
end

local function is_of_module(label, last)
  local names = MODULES[label:sub(1, -#last - 2)]
  return names ~= nil and (" " .. names .. " "):find(" " .. last .. " ", 1,
                                                     true) ~= nil
end

local function is_of_socket(label, last)
  if not OF_SOCKETS[last] then return false end
  local object = label:sub(1, -#last - 2):match "([%w_]*)[()]*$":lower()
  for _, word in ipairs(SOCKETS) do
    if object:find(word, 1, true) then return true end
  end
  return false
end

--- Does the name of a function that is not known say that it may wait?
-- @tparam string label how it was reached
function blocking.by_name(label)
  for _, pattern in ipairs(PATHS) do
    if label:find(pattern) then return true end
  end
  local last = label:match "([%w_]+)$"
  for _, name in ipairs(NAMES) do
    if last == name then return true end
  end
  return is_of_module(label, last) or is_of_socket(label, last)
    or OF_FILES[last] ~= nil and label:find "^io%.file%." ~= nil
end

return blocking

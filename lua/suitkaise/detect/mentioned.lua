--- Calls that may wait, where bytecode is not read: in PUC Lua, and of C
-- functions. A function mentions what its constants name, from its upvalues
-- and globals on. It may call less than that, and its helpers more.
-- @module suitkaise.detect.mentioned

local blocking = require "suitkaise.detect.blocking"
local library = require "suitkaise.detect.library"
local each = require "suitkaise.each"

local DEPTH = 3 -- _ENV.socket.http.request
local MAX_CHAIN = 10 -- of tables behind a table

-- What looks like a name in the bytecode: constants are between bytes that are
-- no letters, and the rest of it is rarely a word.
local function words_of(fn)
  local words = {}
  for path in string.dump(fn, true):gmatch "[%a_][%w_.]*" do
    words[path] = true -- of a module: "socket.http"
    for word in path:gmatch "[%a_][%w_]*" do words[word] = true end
  end
  return words
end

local function name_of(fn)
  local entry = library.functions[fn]
  return blocking.of(fn) or entry and entry.blocks and entry.name
end

-- As a read finds it, but for functions that compute it.
local function field(t, key)
  for _ = 1, MAX_CHAIN do
    local value = rawget(t, key)
    if value ~= nil then return value end
    local meta = debug.getmetatable(t)
    t = type(meta) == "table" and rawget(meta, "__index")
    if type(t) ~= "table" then return nil end
  end
end

local function visit(found, words, value, depth)
  if type(value) == "function" then
    local name = name_of(value)
    if name then found[name] = true end
  elseif type(value) == "table" and depth > 0 then
    for word in each(words) do
      visit(found, words, field(value, word), depth - 1)
    end
  end
end

-- Of modules that it may require itself.
local function add_required(found, words)
  if not words.require then return end
  for _, name in ipairs(blocking.among(words)) do found[name] = true end
end

-- Methods of objects, which cannot be looked up.
local function add_by_name(found, words)
  local known = {}
  for name in each(found) do known[name:match "[^.]+$"] = true end
  for word in each(words) do
    if not known[word] and blocking.by_name(word) then found[word] = true end
  end
end

--- @tparam function fn
-- @treturn {string,...} sorted names
return function(fn)
  local found = {}
  if debug.getinfo(fn, "S").what == "C" then
    found[name_of(fn) or false] = true
    found[false] = nil
  else
    local words, i = words_of(fn), 1
    local upvalue, value = debug.getupvalue(fn, 1)
    while upvalue do
      visit(found, words, value, DEPTH)
      i = i + 1
      upvalue, value = debug.getupvalue(fn, i)
    end
    if debug.getfenv then visit(found, words, debug.getfenv(fn), DEPTH) end
    visit(found, words, _G, DEPTH) -- an environment may compute its fields
    add_required(found, words)
    add_by_name(found, words)
  end
  local list = {}
  for name in each(found) do list[#list + 1] = name end
  table.sort(list)
  return list
end

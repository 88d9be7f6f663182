--- The structure of bytes as a tree of plain nodes, without building what
-- the bytes hold and without running anything.
-- @module suitkaise.cerial.tree
-- @local

local core = require "suitkaise.core"
local failure = require "suitkaise.cerial.failure"

local token, count = core.cerial_token, core.cerial_count

local HEADER = 4 -- magic and version
local MAGIC, VERSION = "\167SK", 1

local tree = {}

-- What takes a number that references use.
local NUMBERED = {
  table = true, object = true, hooked = true, ["function"] = true,
  reference = true, class = true, module = true, struct = true,
  globals = true,
}

-- Which values follow a token, by name.
local FOLLOW = {
  hooked = { "class", "state" },
  ["function"] = { "vm", "code", "cells" },
  reference = { "name" }, class = { "name" }, module = { "name" },
  struct = { "name", "bytes" },
}

local IS_STRING = { name = true, bytes = true, vm = true, code = true }

local function refuse(reason, pos)
  failure.deserialization(reason, pos - 1)
end

local Reader = {}
Reader.__index = Reader

-- The next token as a node.
function Reader:node()
  local pos, shared, kind, a, b = token(self.bytes, self.pos)
  self.pos = pos
  local node = { kind = kind, value = a }
  if kind == "string" then self:add_string(a)
  elseif kind == "string ref" then
    node.kind, node.value = "string", self.strings[a + 1]
    if node.value == nil then
      refuse("a reference to something that was not sent", pos)
    end
  elseif NUMBERED[kind] then
    node.id, node.shared = self.objects, shared
    self.objects = self.objects + 1
  end
  if kind == "table" or kind == "object" then
    node.items, node.pairs = {}, {}
    node.n_items, node.n_pairs = a, b
  end
  return node
end

-- The next token, which must be a value's.
function Reader:value()
  local node = self:node()
  if node.kind == "cell" or node.kind == "cell ref"
     or node.kind == "run" and not self.run_allowed then
    refuse("this is not the place of a " .. node.kind, self.pos)
  end
  self.run_allowed = nil
  return node
end

function Reader:add_string(s)
  self.strings[#self.strings + 1] = s
end

-- ---- frames: what an open node still needs ----

local function push(stack, node, expect)
  stack[#stack + 1] = { node = node, expect = expect, at = 1 }
end

local function open(stack, node)
  if node.items then
    push(stack, node, node.kind == "object" and { "meta" } or {})
  elseif FOLLOW[node.kind] then
    push(stack, node, FOLLOW[node.kind])
  end
end

-- The upvalues that are references: no value follows them.
local function next_cell(reader, node)
  while #node.upvalues < node.n_upvalues do
    local cell = reader:node()
    if cell.kind == "cell" then return true end
    if cell.kind ~= "cell ref" then
      refuse("an upvalue was expected", reader.pos)
    end
    node.upvalues[#node.upvalues + 1] = cell
  end
  return false
end

local function step_function(reader, frame)
  local node = frame.node
  if not node.n_upvalues then
    reader.pos, node.n_upvalues = count(reader.bytes, reader.pos)
    node.upvalues = {}
    return function(child) node.environment = child end
  end
  if not next_cell(reader, node) then return nil end
  return function(child) node.upvalues[#node.upvalues + 1] = child end
end

local function step_table(reader, node)
  if #node.items < node.n_items then
    reader.run_allowed = true
    return function(child)
      if child.kind ~= "run" then
        node.items[#node.items + 1] = child
        return
      end
      if #node.items + #child.value > node.n_items then
        refuse("a run of numbers outside an array", reader.pos)
      end
      for _, v in ipairs(child.value) do
        node.items[#node.items + 1] = { kind = "number", value = v }
      end
    end
  end
  if #node.pairs < node.n_pairs * 2 then
    return function(child) node.pairs[#node.pairs + 1] = child end
  end
  return nil
end

-- Where the next child of the frame goes; nil when it has all.
local function step(reader, frame)
  local node = frame.node
  local name = frame.expect[frame.at]
  if name == "cells" then return step_function(reader, frame) end
  if name then
    frame.at = frame.at + 1
    return function(child)
      if IS_STRING[name] and child.kind ~= "string" then
        refuse("a string was expected", reader.pos)
      end
      node[name] = child
    end
  end
  return node.items and step_table(reader, node)
end

--- Read bytes into a tree.
-- @tparam string bytes
-- @treturn table the root's node: `kind`, and by kind `value`; `items`,
--   `pairs` (key, value, key ...) and `meta`; `class` and `state`; `vm`,
--   `code`, `environment` and `upvalues`; `name` and `bytes`. Nodes that are
--   referred to have `shared` and the `id` of the references
function tree.read(bytes)
  if bytes:sub(1, #MAGIC) ~= MAGIC or #bytes < HEADER then
    refuse("these are not bytes of cerial", 1)
  end
  if bytes:byte(HEADER) ~= VERSION then
    refuse(("the bytes have version %d, this reader knows %d")
           :format(bytes:byte(HEADER), VERSION), HEADER)
  end
  local reader = setmetatable({
    bytes = bytes, pos = HEADER + 1, strings = {}, objects = 0,
  }, Reader)
  local root = reader:value()
  local stack = {}
  open(stack, root)
  while #stack > 0 do
    local put = step(reader, stack[#stack])
    if put then
      local child = reader:value()
      put(child)
      open(stack, child)
    else
      stack[#stack] = nil
    end
  end
  if reader.pos <= #bytes then
    refuse("more bytes after the value", reader.pos)
  end
  return root
end

return tree

--- Bytes as text for people.
-- @module suitkaise.cerial.inspect
-- @local

local errors = require "suitkaise.errors"
local tree = require "suitkaise.cerial.tree"

local show = errors.show

local WORDS = { ["nil"] = "nil", ["true"] = "true", ["false"] = "false" }

local function text_of(node)
  return node and (node.kind == "string" or node.kind == "number")
    and show(node.value) or nil
end

local DESCRIBE = {
  ref = function(node) return "-> #" .. node.value end,
  ["cell ref"] = function(node) return "-> upvalue #" .. node.value end,
  globals = function() return "table of globals" end,
  reference = function(node) return "reference " .. text_of(node.name) end,
  class = function(node) return "class " .. text_of(node.name) end,
  module = function(node) return "module " .. text_of(node.name) end,
  struct = function(node) return "cdata " .. text_of(node.name) end,
  hooked = function() return "object by its hook" end,
  ["function"] = function(node)
    return ("function, %d bytes of %s"):format(#node.code.value,
                                               node.vm.value)
  end,
  object = function(node)
    return ("object, %d items, %d fields"):format(node.n_items, node.n_pairs)
  end,
  table = function(node)
    return ("table, %d items, %d fields"):format(node.n_items, node.n_pairs)
  end,
}

-- One line for a node, without its children.
local function describe(node)
  local line = text_of(node) or WORDS[node.kind]
  if not line then
    local by_kind = DESCRIBE[node.kind]
    line = by_kind and by_kind(node) or node.kind
  end
  return node.shared and line .. "  #" .. node.id or line
end

-- label, child, label, child ... of a node
local function children(node)
  local list = {}
  local function add(label, child)
    if not child then return end
    list[#list + 1] = label
    list[#list + 1] = child
  end
  add("metatable", node.meta)
  add("class", node.class)
  add("state", node.state)
  if node.environment and node.environment.kind ~= "globals"
     and node.environment.kind ~= "nil" then
    add("environment", node.environment)
  end
  for i, item in ipairs(node.items or {}) do add("[" .. i .. "]", item) end
  for i = 1, #(node.pairs or {}), 2 do
    local key = node.pairs[i]
    if text_of(key) or WORDS[key.kind] then
      add("[" .. describe(key) .. "]", node.pairs[i + 1])
    else
      add("key", key)
      add("value", node.pairs[i + 1])
    end
  end
  for i, cell in ipairs(node.upvalues or {}) do add("upvalue " .. i, cell) end
  return list
end

--- The structure of bytes, one line for each value.
-- @tparam string bytes
-- @treturn string
return function(bytes)
  local root = tree.read(bytes)
  local lines = { describe(root) }
  local stack = { { list = children(root), at = 1 } }
  while #stack > 0 do
    local top = stack[#stack]
    local label, child = top.list[top.at], top.list[top.at + 1]
    top.at = top.at + 2
    if child then
      lines[#lines + 1] = ("  "):rep(#stack) .. label .. " = "
        .. describe(child)
      stack[#stack + 1] = { list = children(child), at = 1 }
    else
      stack[#stack] = nil
    end
  end
  return table.concat(lines, "\n")
end

-- The layer rule, and that its checker sees each kind of breach.

local function run(command)
  local pipe = io.popen(command .. " 2>&1; echo status=$?")
  local text = pipe:read("*a")
  pipe:close()
  return tonumber(text:match("status=(%d+)%s*$")), text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

describe("layers", function()
  local tree

  before_each(function()
    tree = os.tmpname()
    os.remove(tree)
    run("mkdir -p " .. tree .. "/src/core " .. tree .. "/src/os " .. tree ..
      "/src/lua " .. tree .. "/src/include " .. tree .. "/lua")
    write(tree .. "/src/core/lane.h", '#include "suitkaise.h"\n')
    write(tree .. "/src/core/lane.c", '#include "lane.h"\n#include "os.h"\n')
    write(tree .. "/src/lua/lsk.h", '#include <lua.h>\n')
    write(tree .. "/src/lua/lane.c", '#include "lsk.h"\n')
  end)

  after_each(function() run("rm -rf " .. tree) end)

  local function breach(path, text)
    write(tree .. "/" .. path, text)
    local status, output = run("tools/layers " .. tree)
    assert.equal(1, status, output)
    return output
  end

  it("hold in this tree", function()
    local status, output = run("tools/layers .")
    assert.equal(0, status, output)
  end)

  it("let each layer include its own and what is below", function()
    assert.equal(0, (run("tools/layers " .. tree)))
  end)

  it("forbid lua.h in the core", function()
    assert.matches("the core knows Lua",
      breach("src/core/cell.c", "#include <lua.h>\n"), 1, true)
  end)

  it("forbid lua.h below the core", function()
    assert.matches("the core knows Lua",
      breach("src/os/linux.c", "#include <lauxlib.h>\n"), 1, true)
  end)

  it("forbid the core's private headers below it", function()
    assert.matches("linux.c:1",
      breach("src/os/linux.c", '#include "lane.h"\n'), 1, true)
  end)

  it("forbid the core's private headers in the binding", function()
    assert.matches("cell.c:2",
      breach("src/lua/cell.c", '#include "lsk.h"\n#include "lane.h"\n'), 1,
      true)
  end)

  it("forbid the way round through another folder", function()
    assert.matches("cell.c:1",
      breach("src/lua/cell.c", '#include "../core/lane.h"\n'), 1, true)
  end)

  it("forbid the binding's headers in the core", function()
    assert.matches("cell.c:1",
      breach("src/core/cell.c", '#include "lsk.h"\n'), 1, true)
  end)

  it("forbid the core to print or to end the process", function()
    assert.matches("prints",
      breach("src/core/cell.c", 'void f (void) { printf("x"); }\n'), 1, true)
    assert.matches("ends",
      breach("src/core/cell.c", "void f (void) { exit(1); }\n"), 1, true)
  end)

  it("forbid Lua to know what a segment looks like", function()
    assert.matches("share.lua:1",
      breach("lua/share.lua", "cdef'struct sk_cell { int64_t v; };'\n"), 1,
      true)
  end)

  it("forbid loops that LuaJIT may end early", function()
    for _, loop in ipairs { "pairs(t)", "next, t" } do
      assert.matches("share.lua:1",
        breach("lua/share.lua", "for k in " .. loop .. " do f(k) end\n"), 1,
        true)
    end
    write(tree .. "/lua/share.lua",
          "-- for k in pairs(t) do\nfor i in ipairs(t) do f(i) end\n")
    assert.equal(0, (run("tools/layers " .. tree)))
  end)
end)

-- The examples of the pages: each page is one program that prints what its
-- comments say.

local helper = require "spec.helper"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local function squeeze(text)
  return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

local function program(page)
  local blocks = {}
  for block in page:gmatch "\n```lua\n(.-)\n```" do
    blocks[#blocks + 1] = block
  end
  return table.concat(blocks, "\n")
end

-- What it prints on stdout: progress bars go elsewhere.
local function printed(code)
  local found = {}
  local quiet = "io.stderr = io.open('/dev/null', 'w')\n"
  for line in helper.run(quiet .. code):gmatch "[^\n]+" do
    found[#found + 1] = squeeze(line)
  end
  return found
end

local function promised(code)
  local found = {}
  for comment in code:gmatch "%-%->([^\n]*)" do
    found[#found + 1] = squeeze(comment)
  end
  return found
end

local pages = {
  "doc/shared.md", "doc/errors.md", "doc/cerial.md", "doc/sktime.md",
  "doc/circuit.md", "doc/skfunction.md", "doc/processing.md",
  "doc/share.md", "doc/pool.md", "doc/pipe.md", "doc/async.md",
}

describe("the examples of", function()
  after_each(helper.nothing_left)

  for _, path in ipairs(pages) do
    it(path .. " print what their comments say", function()
      local code = program(read(path))
      assert.is_true(#promised(code) >= 4)
      assert.same(promised(code), printed(code))
    end)
  end
end)

-- README's tour runs, and prints what it says it prints.

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

describe("README", function()
  after_each(helper.nothing_left)

  it("has a tour that prints what its comments say", function()
    local tour = read("README.md"):match "\n```lua\n(.-)\n```"
    local expected = {}
    for comment in tour:gmatch "%-%->([^\n]*)" do
      expected[#expected + 1] = squeeze(comment)
    end
    local printed = {}
    for line in helper.run(tour):gmatch "[^\n]+" do
      printed[#printed + 1] = squeeze(line)
    end
    assert.is_true(#expected >= 4)
    assert.same(expected, printed)
  end)

  it("names only files that exist", function()
    for path in read("README.md"):gmatch "%]%(([%w/._-]+)%)" do
      assert(io.open(path), path):close()
    end
  end)
end)

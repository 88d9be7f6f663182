-- Fields that a class computes when they are read: one that is assigned would
-- hide what it computes, for good. And options, which are checked once.

local errors = require "suitkaise.errors"

local NONE = {}

-- Makes a class refuse assignments to the fields in `names` and in `set_once`
-- (both by name) and to its methods; others are the user's. Also to the proxy
-- of an object in a Share.
return function(class, names, set_once)
  set_once = set_once or NONE

  local function refuse(key, why)
    errors.raise("ArgumentError", {
      message = class.__name .. ": " .. errors.show(key) .. why
        .. " and cannot be assigned",
      argument = key,
    }, "caller")
  end

  local function check(key)
    if names[key] then refuse(key, " is computed") end
    if set_once[key] then refuse(key, " is set when it is made") end
    if class[key] ~= nil then refuse(key, " is a method") end
  end

  function class.__newindex(self, key, value)
    check(key)
    rawset(self, key, value)
  end

  return function(_, key) check(key) end
end

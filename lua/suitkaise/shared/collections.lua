-- Dict, List and Results by their names: bytes that hold one name this module.

return {
  Dict = require "suitkaise.shared.dict",
  List = require "suitkaise.shared.list",
  Results = require "suitkaise.shared.results",
}

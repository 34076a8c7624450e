require 'json'
require 'logger'

# container: shop-api-1
# /by/compose/shop/api/1 = c52fd043d96c
# /by/name/shop-api-1 = {"PROJECT":"shop","SERVICE":"api"}
# /by/words = ["api","shop"]

module Labels
  PREFIX = 'com.docker.compose.'.freeze

  def compose(container)
    container.labels.each_with_object({}) do |(key, value), all|
      all[key.sub(PREFIX, '').to_sym] = value if key.start_with?(PREFIX)
    end
  end
end

module Shout
  module_function

  def upcase(hash)
    hash.map { |key, value| [key.to_s.upcase, value] }.to_h
  end
end

include Labels

%w[project service].each do |word|
  define_method("compose_#{word}") { |container| compose(container)[word.to_sym] }
end

class << self
  def words
    @words ||= %w[shop api].sort
  end
end
words

def method_missing(name, *args)
  name.to_s.end_with?('?') ? args.first.key?(name.to_s.chomp('?').to_sym) : super
end

def respond_to_missing?(name, include_private = false)
  name.to_s.end_with?('?') || super
end

def docker_container(container)
  labels = compose(container)
  return unless service?(labels) && project?(labels)

  path = ['/by', :compose, compose_project(container), compose_service(container), labels[:'container-number']].join('/')
  {
    path => container.id[0..11],
    "/by/name/#{container.name}" => Shout.upcase(labels.select { |key, _| %i[project service].include?(key) }),
    '/by/words' => self.class.words,
  }
end

private :compose

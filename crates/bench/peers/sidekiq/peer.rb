# Sidekiq beside Posthaste: `peer.rb enqueue SOCKET COUNT FROM FIRST_MS SPAN_MS` puts jobs into the queue in batches, due at
# once when FIRST_MS is 0; `peer.rb work SOCKET URL AT_ONCE` starts Sidekiq with the job below, which sends by a POST;
# `peer.rb versions` names what is measured.
require 'net/http'
require 'uri'
require 'sidekiq'

# Of the client library, about itself: nothing that bears on the figures.
Redis.silence_deprecations = true

what, socket, *rest = ENV['PEER_WORK'] ? ['job', ENV['PEER_SOCKET']] : ARGV
TEXT = 'x' * 160
BATCH = 1000

# One message.
class Send
  include Sidekiq::Worker
  sidekiq_options queue: 'sms', retry: 3

  HEADERS = { 'Content-Type' => 'application/x-www-form-urlencoded', 'Connection' => 'keep-alive' }.freeze

  def perform(to, text)
    uri = URL
    http = Thread.current[:http] ||= begin
      http = Net::HTTP.new(uri.host, uri.port)
      http.keep_alive_timeout = 3600
      http.start
    end
    body = "to=#{URI.encode_www_form_component(to)}&text=#{URI.encode_www_form_component(text)}"
    answer = http.post("#{uri.path}?to=#{to.delete('+')}", body, HEADERS)
    raise "answered #{answer.code}" unless answer.code == '200'
  end
end

case what
when 'versions'
  puts "Sidekiq #{Sidekiq::VERSION}, redis-rb #{Redis::VERSION}, Ruby #{RUBY_VERSION}"
when 'enqueue'
  count, from, first, span = rest.map(&:to_i)
  Sidekiq.configure_client { |config| config.redis = { url: "unix://#{socket}" } }
  Sidekiq.redis(&:ping)
  start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  (0...count).each_slice(BATCH) do |numbers|
    args = numbers.map { |n| [format('+7916%07d', from + n), TEXT] }
    jobs = { 'class' => Send, 'args' => args }
    jobs['at'] = numbers.map { |n| (first + n * span / count) / 1000.0 } if first.positive?
    Sidekiq::Client.push_bulk(jobs)
  end
  puts "seconds #{Process.clock_gettime(Process::CLOCK_MONOTONIC) - start}"
when 'work'
  url, at_once = rest
  variables = { 'PEER_WORK' => '1', 'PEER_SOCKET' => socket, 'PEER_URL' => url }
  exec(variables, '/usr/bin/sidekiq', '-r', File.expand_path(__FILE__), '-c', at_once, '-q', 'sms')
else
  URL = URI(ENV.fetch('PEER_URL'))
  Sidekiq.configure_server do |config|
    config.redis = { url: "unix://#{socket}" }
    config.logger.level = Logger::WARN
    # Due jobs are looked for each second instead of every five.
    config.average_scheduled_poll_interval = 1
    config.on(:startup) do
      puts 'ready'
      $stdout.flush
    end
  end
end

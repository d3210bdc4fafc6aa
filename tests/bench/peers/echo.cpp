// SPDX-License-Identifier: MIT
/*
 * echo - what ../bare_echo.c does, with Boost.Asio, in the way it is fastest: each thread has an io_context
 * that knows it is alone (so no locks are taken), and a listener of its own (SO_REUSEPORT). A session is a
 * chain of callbacks that owns a buffer.
 *
 * usage: echo PORT THREADS echo|sink|source
 */
#include <boost/asio.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using error = boost::system::error_code;
using reuse_port = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

enum class mode { echo, sink, source };

class session : public std::enable_shared_from_this<session>
{
  public:
    session(tcp::socket socket, mode what)
        : socket_(std::move(socket)), what_(what), data_(what == mode::echo ? 16384 : 65536)
    {
    }

    void start()
    {
        if (what_ == mode::source)
            write(data_.size());
        else
            read();
    }

  private:
    void read()
    {
        socket_.async_read_some(asio::buffer(data_),
                                [self = shared_from_this()](error err, std::size_t n) {
                                    if (err)
                                        return;
                                    if (self->what_ == mode::echo)
                                        self->write(n);
                                    else
                                        self->read();
                                });
    }

    void write(std::size_t len)
    {
        asio::async_write(socket_, asio::buffer(data_.data(), len),
                          [self = shared_from_this()](error err, std::size_t) {
                              if (err)
                                  return;
                              if (self->what_ == mode::source)
                                  self->write(self->data_.size());
                              else
                                  self->read();
                          });
    }

    tcp::socket socket_;
    mode what_;
    std::vector<char> data_;
};

class server
{
  public:
    server(unsigned short port, mode what) : context_(1), acceptor_(context_), what_(what)
    {
        tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port);

        acceptor_.open(endpoint.protocol());
        acceptor_.set_option(tcp::acceptor::reuse_address(true));
        acceptor_.set_option(reuse_port(true));
        acceptor_.bind(endpoint);
        acceptor_.listen(4096);
        accept();
    }

    void run()
    {
        context_.run();
    }

  private:
    void accept()
    {
        acceptor_.async_accept([this](error err, tcp::socket socket) {
            if (!err) {
                socket.set_option(tcp::no_delay(true));
                std::make_shared<session>(std::move(socket), what_)->start();
            }
            accept();
        });
    }

    asio::io_context context_;
    tcp::acceptor acceptor_;
    mode what_;
};

int main(int argc, char **argv)
{
    if (argc != 4) {
        std::fprintf(stderr, "usage: echo PORT THREADS echo|sink|source\n");
        return 2;
    }
    auto port = static_cast<unsigned short>(std::atoi(argv[1]));
    mode what = std::strcmp(argv[3], "echo") == 0   ? mode::echo
                : std::strcmp(argv[3], "sink") == 0 ? mode::sink
                                                    : mode::source;
    std::vector<std::unique_ptr<server>> servers;
    std::vector<std::thread> threads;

    for (int i = 0; i < std::atoi(argv[2]); i++)
        servers.push_back(std::make_unique<server>(port, what));
    for (auto &one : servers)
        threads.emplace_back([&one] { one->run(); });
    for (auto &thread : threads)
        thread.join();
    return 0;
}

// The tape made visible: the table, the graph, names, and the message about a forgotten scope.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "tests/autograd/tape_support.h"

namespace tape_test {

namespace {

std::string table_of(const Tape& tape) {
  std::ostringstream out;
  tape.print(out);
  return out.str();
}

std::string dot_of(const Tape& tape) {
  std::ostringstream out;
  tape.dot(out);
  return out.str();
}

// y = sum(tanh(w x + b)) of a model { w, b }, as the guide does it.
struct Affine {
  Parameter w{Tensor::from({0.5, -1.0, 2.0, 0.25})};
  Parameter b{scalar(0.125)};
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "the table of a persistent tape before and after the walk", "[tape][print]") {
  const Affine net;
  const Tensor x = full({4}, 2, f64);
  Tape tape{{.persistent = true}};
  const int line = __LINE__ + 1;
  const Tensor y = sum(tanh(net.w * x + net.b));
  const auto approve = [&](const std::string& wanted) {
    CHECK('\n' + replaced(table_of(tape), here(line), "HERE") == wanted);
  };
  approve(R"(
entry  op         inputs  result  value                                 gradient    line
%1     parameter          f64[4]  [0.5, -1, 2, ...]                     not walked  HERE
%2     mul        %1      f64[4]  [1, -2, 4, ...]                       not walked  HERE
%3     parameter          f64[]   0.125                                 not walked  HERE
%4     add        %2, %3  f64[4]  [1.125, -1.875, 4.125, ...]           not walked  HERE
%5     tanh       %4      f64[4]  [0.809301, -0.954045, 0.999478, ...]  not walked  HERE
%6     sum        %5      f64[]   1.40933                               not walked  HERE
6 entries, 64 bytes saved
)");
  tape.gradient(y, net);
  approve(R"(
entry  op         inputs  result  value                                 gradient                                name  line
%1     parameter          f64[4]  [0.5, -1, 2, ...]                     [0.690064, 0.179595, 0.00208898, ...]   w     HERE
%2     mul        %1      f64[4]  [1, -2, 4, ...]                       [0.345032, 0.0897976, 0.00104449, ...]        HERE
%3     parameter          f64[]   0.125                                 1.12829                                 b     HERE
%4     add        %2, %3  f64[4]  [1.125, -1.875, 4.125, ...]           [0.345032, 0.0897976, 0.00104449, ...]        HERE
%5     tanh       %4      f64[4]  [0.809301, -0.954045, 0.999478, ...]  [1, 1, 1, ...]                                HERE
%6     sum        %5      f64[]   1.40933                               1                                             HERE
6 entries, 64 bytes saved
)");
}

TEST_CASE_METHOD(CleanRecord, "the table of a plain tape: no values, and what a walk has released", "[tape][print]") {
  const Affine net;
  Tape tape;
  const int line = __LINE__ + 1;
  const Tensor y = sum(square(net.w));
  const Tensor z = net.b * 2.0;
  const auto approve = [&](const std::string& wanted) {
    CHECK('\n' + replaced(replaced(table_of(tape), here(line), "HERE"), here(line + 1), "NEXT") == wanted);
  };
  approve(R"(
entry  op         inputs  result  gradient    line
%1     parameter          f64[4]  not walked  HERE
%2     square     %1      f64[4]  not walked  HERE
%3     sum        %2      f64[]   not walked  HERE
%4     parameter          f64[]   not walked  NEXT
%5     mul        %4      f64[]   not walked  NEXT
5 entries, 40 bytes saved
)");
  tape.gradient(y, net.w);
  approve(R"(
entry  op         inputs  result  gradient    line
%1     parameter          f64[4]  walked      HERE
%2     square     %1      f64[4]  released    HERE
%3     sum        %2      f64[]   released    HERE
%4     parameter          f64[]   not walked  NEXT
%5     mul        %4      f64[]   not walked  NEXT
5 entries, 8 bytes saved
)");
}

TEST_CASE_METHOD(CleanRecord, "an inner tape prints its own entries", "[tape][print]") {
  const Affine net;
  Tape outer;
  const Tensor h = net.w * 2.0;
  Tape inner;
  const int line = __LINE__ + 1;
  const Tensor y = sum(h);
  CHECK(replaced(table_of(inner), here(line), "HERE") ==
        "entry  op   inputs  result  gradient    line\n"
        "%3     sum  %2      f64[]   not walked  HERE\n"
        "1 entry, 0 bytes saved\n");
}

TEST_CASE_METHOD(CleanRecord, "the tables of an inner tape and of the outer one say what was walked", "[tape][print]") {
  const Affine net;
  Tape outer;
  Tape inner;
  const int line = __LINE__ + 1;
  const Tensor y = sum(square(net.w));
  const Tensor unused = net.w * 2.0;
  const auto rows = [&](const Tape& tape) {
    const std::string text = replaced(replaced(table_of(tape), here(line), "HERE"), here(line + 1), "NEXT");
    return text.substr(0, text.find("%5"));  // what follows is the recorded walk
  };
  inner.gradient(y, net.w);
  const std::string walked = R"(
entry  op         inputs  result  gradient    line
%1     parameter          f64[4]  walked      HERE
%2     square     %1      f64[4]  walked      HERE
%3     sum        %2      f64[]   walked      HERE
%4     mul        %1      f64[4]  not walked  NEXT
)";
  CHECK('\n' + rows(inner) == walked);
  CHECK('\n' + rows(outer) == walked);
  CHECK(table_of(inner).find("%5") != std::string::npos);
}

TEST_CASE_METHOD(CleanRecord, "a wanted result in the middle, a branch, and a second walk", "[tape][print]") {
  const Affine net;
  Tape tape;
  const int line = __LINE__ + 1;
  const Tensor h = square(net.w);
  const Tensor branch = sum(h);
  const Tensor y = sum(tanh(h));
  const auto approve = [&](const std::string& wanted) {
    std::string table = table_of(tape);
    for (int k = 0; k < 3; ++k) table = replaced(table, here(line + k), "LINE" + std::to_string(k));
    CHECK('\n' + table == wanted);
  };
  tape.gradient(y, h);
  approve(R"(
entry  op         inputs  result  gradient    line
%1     parameter          f64[4]  not walked  LINE0
%2     square     %1      f64[4]  walked      LINE0
%3     sum        %2      f64[]   not walked  LINE1
%4     tanh       %2      f64[4]  released    LINE2
%5     sum        %4      f64[]   released    LINE2
5 entries, 32 bytes saved
)");
  tape.gradient(branch, net.w);
  approve(R"(
entry  op         inputs  result  gradient  line
%1     parameter          f64[4]  walked    LINE0
%2     square     %1      f64[4]  released  LINE0
%3     sum        %2      f64[]   released  LINE1
%4     tanh       %2      f64[4]  released  LINE2
%5     sum        %4      f64[]   released  LINE2
5 entries, 0 bytes saved
)");
}

TEST_CASE_METHOD(CleanRecord, "an inner persistent tape has values and gradients while it is open", "[tape][print]") {
  const Affine net;
  Tape outer;
  const Tensor h = net.w * 2.0;
  const Tensor v = Tensor::from({1.0, 2.0, 3.0, 4.0});
  const std::int64_t held = v.block()->references.load();
  const int line = __LINE__ + 3;
  {
    Tape inner{{.persistent = true}};
    const Tensor y = sum(net.w * v);
    const auto rows = [&] {
      const std::string text = replaced(table_of(inner), here(line), "HERE");
      return '\n' + text.substr(0, text.find("%5"));  // what follows is the recorded walk
    };
    CHECK(rows() == R"(
entry  op   inputs  result  value              gradient    line
%3     mul  %1      f64[4]  [0.5, -2, 6, ...]  not walked  HERE
%4     sum  %3      f64[]   5.5                not walked  HERE
2 entries, 32 bytes saved
)");
    inner.gradient(y, net.w);
    CHECK(rows() == R"(
entry  op   inputs  result  value              gradient        line
%3     mul  %1      f64[4]  [0.5, -2, 6, ...]  [1, 1, 1, ...]  HERE
%4     sum  %3      f64[]   5.5                1               HERE
2 entries, 32 bytes saved
)");
    // The outer tape's parameter has the gradient, but no value: it was recorded before.
    CHECK(table_of(outer).find("[1, 2, 3, ...]") != std::string::npos);
    CHECK(detail::record.values);
    {
      const Tape::Pause pause;
      const Tape third{{.persistent = true}};
    }
    CHECK(detail::record.values);
  }
  CHECK(!detail::record.values);
  const std::size_t entries = outer.size();
  const Tensor z = sum(h);
  CHECK(outer.size() == entries + 1);
  CHECK(table_of(outer).find("value") == std::string::npos);
  CHECK(is_close(outer.gradient(z, net.w), full({4}, 2, f64)));
  CHECK(v.block()->references.load() == held + 1);  // by the inner tape's mul
}

TEST_CASE_METHOD(CleanRecord, "an empty tape prints its head", "[tape][print]") {
  Tape tape;
  CHECK(table_of(tape) == "entry  op  inputs  result  gradient  line\n0 entries, 0 bytes saved\n");
}

TEST_CASE_METHOD(CleanRecord, "layers give entries their name and the line of their call", "[tape][print]") {
  const Parameter w(wave({3, 3}, 1));
  const auto layer = [&](Arg x, const char* name) {
    const detail::LayerScope scope(detail::intern(name), x.at());
    return tanh(matmul(x, w));
  };
  const Tensor x = wave({2, 3}, 2);
  Tape tape;
  const int line = __LINE__ + 1;
  const Tensor h = layer(x, "first");
  const Tensor plain = h * 2.0;
  const Tensor y = layer(plain, "blocks.1.second");
  std::string table = table_of(tape);
  for (int k = 0; k < 3; ++k) table = replaced(table, here(line + k), "LINE" + std::to_string(k));
  CHECK('\n' + table == R"(
entry  op         inputs  result     gradient    name             line
%1     parameter          f64[3, 3]  not walked  first            LINE0
%2     matmul     %1      f64[2, 3]  not walked  first            LINE0
%3     tanh       %2      f64[2, 3]  not walked  first            LINE0
%4     mul        %3      f64[2, 3]  not walked                   LINE1
%5     matmul     %4, %1  f64[2, 3]  not walked  blocks.1.second  LINE2
%6     tanh       %5      f64[2, 3]  not walked  blocks.1.second  LINE2
6 entries, 272 bytes saved
)");
}

TEST_CASE_METHOD(CleanRecord, "layers nest: the innermost name, the outermost line", "[tape][print]") {
  const Parameter w(wave({3}, 1));
  const auto inner = [&](Arg x) {
    const detail::LayerScope scope(detail::intern("block.inner"), x.at());
    return x * w;
  };
  const auto outer = [&](Arg x) {
    const detail::LayerScope scope(detail::intern("block"), x.at());
    const Tensor h = tanh(inner(x));
    return h + 1.0;
  };
  Tape tape;
  const int line = __LINE__ + 1;
  outer(wave({3}, 2));
  CHECK('\n' + replaced(table_of(tape), here(line), "HERE") == R"(
entry  op         inputs  result  gradient    name         line
%1     parameter          f64[3]  not walked  block.inner  HERE
%2     mul        %1      f64[3]  not walked  block.inner  HERE
%3     tanh       %2      f64[3]  not walked  block        HERE
%4     add        %3      f64[3]  not walked  block        HERE
4 entries, 48 bytes saved
)");
}

TEST_CASE_METHOD(CleanRecord, "entries of a recorded walk carry the forward entry's layer and line", "[tape][print]") {
  Tensor x = wave({3}, 1);
  Tape outer;
  outer.watch(x);
  Tape inner;
  inner.watch(x);
  Tensor y;
  const int line = __LINE__ + 3;
  {
    const detail::LayerScope scope(detail::intern("cubes"), SourceLocation::current());
    y = sum(x * x * x);
  }
  const std::size_t forward = inner.size();
  inner.gradient(y, x);
  CHECK(inner.size() > forward);
  std::istringstream table(table_of(inner));
  std::string row;
  std::getline(table, row);
  std::getline(table, row);  // the alias
  while (std::getline(table, row) && row[0] == '%') {
    INFO(row);
    CHECK(row.find("cubes") != std::string::npos);
    CHECK(row.find(here(line - 1)) != std::string::npos);
  }
}

TEST_CASE_METHOD(CleanRecord, "the table agrees with the statistics", "[tape][print]") {
  const Affine net;
  Tape tape;
  const Tensor c = wave({4}, 1);
  const Tensor h = net.w * c;
  const Tensor y = sum(tanh(h + net.b) * c);
  const auto approve = [&](std::size_t saved_bytes) {
    const std::string table = table_of(tape);
    const TapeStatistics s = tape.statistics();
    CHECK(s.saved_bytes == saved_bytes);
    CHECK(static_cast<std::size_t>(std::count(table.begin(), table.end(), '%')) >= s.entries);
    CHECK(static_cast<std::size_t>(std::count(table.begin(), table.end(), '\n')) == s.entries + 2);
    const std::size_t last = table.rfind('\n', table.size() - 2) + 1;
    CHECK(table.substr(last) ==
          std::to_string(s.entries) + " entries, " + std::to_string(s.saved_bytes) + " bytes saved\n");
  };
  approve(2 * 4 * 8);  // c, once, and what tanh gave
  tape.gradient(y, h);
  approve(4 * 8);  // c, for the gradient of w
  tape.gradient(sum(h), net.w);
  approve(0);
}

namespace {

// What a graph in the DOT language consists of, from a parser for the part of the language that is used.
struct Graph {
  std::map<std::string, std::string> nodes;  // name -> label
  std::set<std::pair<std::string, std::string>> edges;
  std::vector<std::string> clusters;
  bool is_valid = true;
};

Graph parse(const std::string& text) {
  Graph graph;
  static const std::string quoted = R"re("((?:[^"\\]|\\.)*)")re";
  static const std::regex node("n(\\d+) \\[label=" + quoted + "((?:, \\w+=(?:\\w+|" + quoted + "))*)\\];");
  static const std::regex edge("n(\\d+) -> n(\\d+) \\[label=" + quoted + "\\];");
  static const std::regex cluster("subgraph cluster_\\d+ \\{");
  static const std::regex label("label=" + quoted + ";");
  std::istringstream lines(text);
  std::string line;
  int depth = 0;
  while (std::getline(lines, line)) {
    line.erase(0, line.find_first_not_of(' '));
    std::smatch m;
    if (std::regex_match(line, m, edge)) {
      graph.edges.insert({m[1], m[2]});
    } else if (std::regex_match(line, m, node)) {
      graph.nodes[m[1]] = m[2];
    } else if (std::regex_match(line, m, cluster) || line == "digraph tape {") {
      ++depth;
    } else if (std::regex_match(line, m, label)) {
      graph.clusters.push_back(m[1]);
    } else if (line == "}") {
      --depth;
    } else {
      graph.is_valid = graph.is_valid && (line.rfind("node [", 0) == 0 || line.rfind("rankdir=", 0) == 0);
    }
  }
  graph.is_valid = graph.is_valid && depth == 0;
  for (const auto& [from, to] : graph.edges) {
    graph.is_valid = graph.is_valid && graph.nodes.count(from) && graph.nodes.count(to);
  }
  return graph;
}

}  // namespace

TEST_CASE_METHOD(CleanRecord, "the graph has a node per entry and an edge per input", "[tape][print]") {
  const Affine net;
  Tape tape;
  Tensor h;
  {
    const detail::LayerScope scope(detail::intern("a \"quoted\" \\ layer"), SourceLocation::current());
    h = net.w * 2.0 + net.b;
  }
  const Tensor all = concat({h, h, net.w, tanh(h), net.w});
  const Tensor y = sum(all);
  tape.gradient(y, net);
  const Graph graph = parse(dot_of(tape));
  CHECK(graph.is_valid);
  CHECK(graph.nodes.size() == tape.size());
  CHECK(graph.clusters == std::vector<std::string>{R"(a \"quoted\" \\ layer)"});
  CHECK(graph.nodes.at("1") == "%1 w");  // named when the gradient walked over the model
  CHECK(graph.nodes.at("3") == "%3 b");
  using Edges = std::set<std::pair<std::string, std::string>>;
  CHECK(graph.edges ==
        Edges{{"1", "2"}, {"2", "4"}, {"3", "4"}, {"4", "5"}, {"1", "6"}, {"4", "6"}, {"5", "6"}, {"6", "7"}});
}

TEST_CASE_METHOD(CleanRecord, "graphviz reads the graph", "[tape][print]") {
  const Affine net;
  Tape tape;
  const detail::LayerScope scope(detail::intern("a \"quoted\" \\ layer"), SourceLocation::current());
  const Tensor y = sum(tanh(net.w * 2.0 + net.b));
  const Graph graph = parse(dot_of(tape));
  CHECK(graph.is_valid);
  CHECK(graph.edges.size() == 5);
  if (std::system("dot -V >/dev/null 2>&1") != 0) {
    WARN("graphviz is not installed: only the tests' own parser has read the graph");
    return;
  }
  char file[] = "/tmp/tapegrad-dot-XXXXXX";
  const int descriptor = mkstemp(file);
  REQUIRE(descriptor >= 0);
  close(descriptor);
  tape.dot(std::string(file));
  const std::string command = std::string("dot -Tsvg ") + file + " >/dev/null 2>&1";
  CHECK(std::system(command.c_str()) == 0);
  std::ifstream written(file);
  const std::string text{std::istreambuf_iterator<char>(written), {}};
  CHECK(text == dot_of(tape));
  std::remove(file);
}

TEST_CASE_METHOD(CleanRecord, "a file that cannot be written", "[tape][print]") {
  Tape tape;
  const int line = __LINE__ + 1;
  const std::string message = error_of([&] { tape.dot("/no/such/folder/tape.dot"); });
  CHECK(message == "dot: cannot write /no/such/folder/tape.dot, at " + here(line));
}

namespace {

void negate(Tensor& y, int times) {
  for (int i = 0; i < times; ++i) y = -y;
}

constexpr int million = 1 << 20;

}  // namespace

TEST_CASE_METHOD(CleanRecord, "a tape with a million entries says once where it was opened", "[tape][print]") {
  std::string text;
  const int line = __LINE__ + 4;
  std::thread([&] {  // a thread of its own, so that the memory is given back
    text = standard_error_of([] {
      const Parameter w(scalar(1));
      Tape tape;
      Tensor y = w;
      negate(y, 2 * million + 10);
    });
  })
      .join();
  CHECK(text == "tapegrad: the tape opened at " + here(line) +
                    " has a million entries and was not walked; does its scope end?\n");
}

TEST_CASE_METHOD(CleanRecord, "a tape that is walked may have a million entries in silence", "[tape][print]") {
  std::string text;
  std::thread([&] {
    text = standard_error_of([] {
      const Parameter w(scalar(1));
      Tape tape;
      Tensor y = w;
      negate(y, million / 2 + 10);
      tape.gradient(y, w);
      y = w;
      negate(y, million / 2 + 10);
    });
  }).join();
  CHECK(text == "");
}

}  // namespace tape_test

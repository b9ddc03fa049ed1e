c++ -std=c++20 main.cpp -o consumer $(pkg-config --cflags --libs tapegrad)

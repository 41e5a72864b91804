import sys, threading

sys.setrecursionlimit(10**9)


class Deep:
    def __getattr__(self, name):
        return getattr(self, name + "x")


import pickle


def f(value):
    return f([value])


f(Deep())

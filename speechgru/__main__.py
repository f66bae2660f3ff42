"""`python -m speechgru`, where scripts of the environment are not on the path."""

from speechgru.cli import main

if __name__ == "__main__":
    main()

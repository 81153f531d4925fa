def area(shapes):
    total = 0.0
    for kind, *size in shapes:
        match kind:
            case "square": total += size[0] ** 2
            case "circle": total += 3.14159 * size[0] ** 2
    return f"{total:.2f}"


print(area([("square", 2), ("circle", 1)]))
